"""What belongs to the car and its journey: dashboard, steering wheel, mirror, tasks and the ghost."""
