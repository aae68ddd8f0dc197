"""What a person reads: the HTML page, its figures and film strips, and the table on the terminal."""
