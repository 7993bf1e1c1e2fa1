"""Messages, records and decisions of the frame flow, without input or output."""
