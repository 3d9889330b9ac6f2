"""Why a sub-network is not as much faster as it is smaller."""
