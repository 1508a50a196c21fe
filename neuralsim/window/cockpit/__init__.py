"""What belongs to the car: dashboard, steering wheel and mirror."""
