"""REST routes by feature: parameters, one read of the view, one answer."""
