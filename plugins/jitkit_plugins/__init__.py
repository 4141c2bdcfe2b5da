"""The built-in components. They use the same hooks as third-party plugins; the core never imports them."""
