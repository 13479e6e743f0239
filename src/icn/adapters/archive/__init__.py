"""Archives of backups on disk: tar.gz files, folders, encryption."""
