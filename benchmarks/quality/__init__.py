"""What a good engineer would try instead of Souk: peers on the same split, by the same scorer, tuned alike."""
