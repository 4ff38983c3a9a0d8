// Weights of a Gaussian with 9 taps and a standard deviation of 2 pixels, normalised to a sum of 1.
// Tap k, counted from the middle, has exp(-k * k / 8) / sum.

const float GAUSSIAN_0 = 0.204163688;
const float GAUSSIAN_1 = 0.180173823;
const float GAUSSIAN_2 = 0.123831537;
const float GAUSSIAN_3 = 0.066282245;
const float GAUSSIAN_4 = 0.027630551;
