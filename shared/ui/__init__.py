"""What the consoles of both services share: words, voice, assets, templates."""
