"""Admission: how much may be asked of a provider, and when. Buckets are pure; the stores keep them in memory or in Redis."""
