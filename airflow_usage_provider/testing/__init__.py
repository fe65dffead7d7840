"""What vendors of one's own are tested with: real servers, and the rules that every stream keeps."""
