"""How each kind of fact is booked: one module per family of facts, all at one desk."""
