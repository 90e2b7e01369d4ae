//! What holds for every fleet and every request.
