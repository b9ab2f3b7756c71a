"""What a person calls: run, check, plan, status, inspect, apply, speed, gc."""
