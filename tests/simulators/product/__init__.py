"""A product that follows Capsule through unified records: the receiving end of `downstream = "unified"`."""
