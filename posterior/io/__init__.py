"""Files: results (`codec`, `archive`), unfinished work (`checkpoint`), modules with their weights (`folders`)."""
