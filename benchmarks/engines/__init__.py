"""Engines side by side: what each is asked, who answers, and how it is told."""
