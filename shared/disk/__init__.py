"""What is kept: rows, files, and disks that hang."""
