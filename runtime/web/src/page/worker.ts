import "../echoes/worker";
