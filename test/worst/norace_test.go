//go:build !race

package worst

const race = false
