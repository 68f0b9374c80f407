"""What a run says: its types, what may be concluded from them, and the words for it."""
