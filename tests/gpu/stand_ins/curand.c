int curand_stands_in;
