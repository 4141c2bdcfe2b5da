"""The built-in parts. They come in by the same door as those of third parties; core never imports them."""
