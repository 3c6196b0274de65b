"""How long a scan will take, and what fits into the time there is"""
