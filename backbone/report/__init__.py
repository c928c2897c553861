"""What people read: printed text, statistics, tables and pictures, all made from records."""
