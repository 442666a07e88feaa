"""`quantrac gateway doctor`: what could keep a station from measuring, storing and sending, in sentences."""
