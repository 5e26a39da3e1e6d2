// Command pack makes a container image archive from static binaries, without a container engine.
//
//	pack -output IMAGE.tar -tag NAME:TAG [-entrypoint PATH] [-user UID:GID] [-label K=V]… FILE:PATH…
//
// The archive is an OCI image layout in a tar file: `ctr image import`, `podman load` and `kind load image-archive`
// take it. The same inputs give the same bytes: file times are zero and the order is that of the arguments.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

type labels map[string]string

func (l labels) String() string { return fmt.Sprint(map[string]string(l)) }

func (l labels) Set(pair string) error {
	key, value, found := strings.Cut(pair, "=")
	if !found {
		return fmt.Errorf("not KEY=VALUE: %q", pair)
	}
	l[key] = value
	return nil
}

type options struct {
	output, tag, entrypoint, user, architecture string
	labels                                      labels
	files                                       []string
}

func main() {
	o := options{labels: labels{}}
	flag.StringVar(&o.output, "output", "", "archive to write")
	flag.StringVar(&o.tag, "tag", "", "full image name: DOMAIN/NAME:TAG")
	flag.StringVar(&o.entrypoint, "entrypoint", "", "program to run by default")
	flag.StringVar(&o.user, "user", "65532:65532", "user and group that the program runs as")
	flag.StringVar(&o.architecture, "architecture", "amd64", "architecture of the binaries")
	flag.Var(o.labels, "label", "image label KEY=VALUE; may be repeated")
	flag.Parse()
	o.files = flag.Args()
	if o.output == "" || o.tag == "" || len(o.files) == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := pack(o); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(o options) error {
	content, err := layer(o.files)
	if err != nil {
		return err
	}
	image, err := image(o, content)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "pack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	index, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	// containerd names the image by the first annotation, other engines by the second.
	short := o.tag[strings.LastIndex(o.tag, ":")+1:]
	names := map[string]string{"io.containerd.image.name": o.tag, "org.opencontainers.image.ref.name": short}
	if err := index.AppendImage(image, layout.WithAnnotations(names)); err != nil {
		return err
	}
	return archive(folder, o.output)
}

func image(o options, content []byte) (v1.Image, error) {
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	layer, err := tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Architecture, config.OS = o.architecture, "linux"
	config.Config.User, config.Config.Labels = o.user, o.labels
	config.Config.Env = []string{"PATH=/"}
	if o.entrypoint != "" {
		config.Config.Entrypoint = []string{o.entrypoint}
	}
	return mutate.ConfigFile(image, config)
}

// layer is a tar stream of the files, each at its place, and the three files in /etc that a static binary asks for.
func layer(files []string) ([]byte, error) {
	var buffer bytes.Buffer
	out := &layerWriter{tar: tar.NewWriter(&buffer), made: map[string]bool{".": true, "/": true}}
	etc := map[string]string{
		"etc/passwd":        "root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n",
		"etc/group":         "root:x:0:\nnonroot:x:65532:\n",
		"etc/nsswitch.conf": "hosts: files dns\n",
	}
	for _, name := range []string{"etc/group", "etc/nsswitch.conf", "etc/passwd"} {
		if err := out.file(name, 0o644, []byte(etc[name])); err != nil {
			return nil, err
		}
	}
	for _, pair := range files {
		source, target, found := strings.Cut(pair, ":")
		if !found {
			return nil, fmt.Errorf("not FILE:PATH: %q", pair)
		}
		status, err := os.Stat(source)
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		if err := out.file(strings.TrimPrefix(target, "/"), int64(status.Mode().Perm()), content); err != nil {
			return nil, err
		}
	}
	if err := out.tar.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

type layerWriter struct {
	tar  *tar.Writer
	made map[string]bool
}

func (w *layerWriter) file(name string, mode int64, content []byte) error {
	if err := w.folder(path.Dir(name)); err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}
	if err := w.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.tar.Write(content)
	return err
}

func (w *layerWriter) folder(name string) error {
	if w.made[name] {
		return nil
	}
	if err := w.folder(path.Dir(name)); err != nil {
		return err
	}
	w.made[name] = true
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
}

// archive writes the folder as a tar file, in the order of the names.
func archive(folder, output string) error {
	var names []string
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	sort.Strings(names)
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	defer file.Close()
	out := &layerWriter{tar: tar.NewWriter(file), made: map[string]bool{".": true}}
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		if err := out.file(relative, 0o644, content); err != nil {
			return err
		}
	}
	if err := out.tar.Close(); err != nil {
		return err
	}
	return file.Close()
}
