"""Files in: which file is finished, what it is, when it was taken, and which files were seen."""
