"""The recommender: the request path, the KServe model around it, impressions, and recommendations in batch."""
