"""ERP adapters: commands in, exactly one booked document each, confirmations out."""
