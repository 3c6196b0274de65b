"""Where transformers' families keep their matrices, one file a layout."""
