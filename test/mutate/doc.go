// Package mutate changes every byte of one simulated item of every kind of evidence,
// and of the collateral beside it, and looks at what is still accepted. Its tests do a
// sample; `make mutate` does all.
package mutate
