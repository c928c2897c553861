"""What people read: printed text, tables and pictures, all made from records."""
