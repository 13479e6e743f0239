"""Places where archives of backups are kept: a folder or a bucket, behind one port (`ports`)."""
