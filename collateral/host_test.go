package collateral_test

import (
	"io/fs"
	"os"

	"github.com/probity-dev/probity/collateral"
)

// host is the file system of this host, by paths.
type host struct{}

func (host) Open(name string) (fs.File, error)          { return os.Open(name) }
func (host) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (host) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func load(path string) (*collateral.Bundle, error) { return collateral.Load(host{}, path) }
