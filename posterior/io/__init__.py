"""Files: results (`archive`), unfinished work (`checkpoint`), modules with their weights (`folders`)."""
