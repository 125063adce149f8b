"""What every service needs: settings, Kafka clients, lifecycle, logging, metrics, errors. Imports no service."""
