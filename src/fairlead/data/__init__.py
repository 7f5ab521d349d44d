"""From files to records to tokens to packed batches."""
