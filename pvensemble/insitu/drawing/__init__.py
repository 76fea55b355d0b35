"""The process that draws: its side (``drawer``), the trainer's (``drawing``), and what they say."""
