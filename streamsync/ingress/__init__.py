"""The door: verified webhooks become stored records, or a refusal that the sender can act on."""
