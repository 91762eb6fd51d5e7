//go:build race

package worst

const race = true
