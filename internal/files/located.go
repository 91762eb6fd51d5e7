package files

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Each returns the errors that were joined into one.
func Each(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // a wrapped one has a text of its own
	if !ok {
		return []error{err}
	}
	var list []error
	for _, one := range joined.Unwrap() {
		list = append(list, Each(one)...)
	}
	return list
}

// Located adds to the error of a file that is not there where it was looked for, if the path that a
// configuration has is relative.
func Located(err error) error {
	var path *fs.PathError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &path) || filepath.IsAbs(path.Path) {
		return err
	}
	place, absErr := filepath.Abs(path.Path)
	if absErr != nil {
		return err
	}
	return fmt.Errorf("%w (looked for %s: paths are relative to the working directory)", err, place)
}
