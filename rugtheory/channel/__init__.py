"""What a reading hears besides its own feature: a base class, and a file a channel."""
