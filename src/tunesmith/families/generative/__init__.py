"""Text, token by token: chat, plain text, preferences, text to text."""
