"""Token images as files and film strips: the path from noise to text, recorded and drawn."""
