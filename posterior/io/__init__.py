"""Files: results (`codec`, `archive`), unfinished work (`checkpoint`), modules with their weights (`folders`).

`writing` writes each of them whole or not at all.
"""
