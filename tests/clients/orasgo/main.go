// Pushes, pulls, attaches and lists with the library that most Go programs use for OCI artifacts, oras-go.
//
//	orasgo push      HOST/REPOSITORY:TAG FILE   prints the digest of the manifest
//	orasgo pull      HOST/REPOSITORY:TAG FILE   writes the first layer
//	orasgo attach    HOST/REPOSITORY:TAG FILE   pushes a manifest that refers to the tagged one, prints its digest
//	orasgo referrers HOST/REPOSITORY:TAG        prints digest and artifact type of all that refers to the tagged one
//	orasgo tags      HOST/REPOSITORY            prints the tags
//
// The registry speaks plain HTTP. ORAS_USER and ORAS_PASSWORD sign in; without them the program is anonymous.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/file"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

const (
	moduleType = "application/vnd.module.wasm.content.layer.v1+wasm"
	schemaType = "application/vnd.wasmhub.config-schema.v1+json"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "orasgo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: orasgo push|pull|attach|referrers|tags REFERENCE [FILE]")
	}
	repository, err := connect(args[1])
	if err != nil {
		return err
	}
	switch {
	case args[0] == "referrers":
		return listReferrers(ctx, repository)
	case args[0] == "tags":
		return repository.Tags(ctx, "", func(tags []string) error {
			for _, tag := range tags {
				fmt.Println(tag)
			}
			return nil
		})
	case len(args) < 3:
		return fmt.Errorf("%s needs a file", args[0])
	case args[0] == "push":
		return push(ctx, repository, args[2], moduleType, nil)
	case args[0] == "attach":
		subject, err := repository.Resolve(ctx, repository.Reference.Reference)
		if err != nil {
			return err
		}
		return push(ctx, repository, args[2], schemaType, &subject)
	case args[0] == "pull":
		return pull(ctx, repository, args[2])
	}
	return fmt.Errorf("unknown verb %q", args[0])
}

func connect(reference string) (*remote.Repository, error) {
	repository, err := remote.NewRepository(reference)
	if err != nil {
		return nil, err
	}
	repository.PlainHTTP = true
	client := &auth.Client{Cache: auth.NewCache()}
	if user := os.Getenv("ORAS_USER"); user != "" {
		client.Credential = auth.StaticCredential(repository.Reference.Registry, auth.Credential{Username: user, Password: os.Getenv("ORAS_PASSWORD")})
	}
	repository.Client = client
	return repository, nil
}

// push packs the file as the one layer of an artifact; with a subject it goes untagged, as a referrer.
func push(ctx context.Context, repository *remote.Repository, path, mediaType string, subject *v1.Descriptor) error {
	store, err := file.New("")
	if err != nil {
		return err
	}
	defer store.Close()
	layer, err := store.Add(ctx, "filter.wasm", mediaType, path)
	if err != nil {
		return err
	}
	manifest, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, mediaType,
		oras.PackManifestOptions{Layers: []v1.Descriptor{layer}, Subject: subject})
	if err != nil {
		return err
	}
	if subject != nil {
		err = oras.CopyGraph(ctx, store, repository, manifest, oras.DefaultCopyGraphOptions)
	} else if err = store.Tag(ctx, manifest, "it"); err == nil {
		_, err = oras.Copy(ctx, store, "it", repository, repository.Reference.Reference, oras.DefaultCopyOptions)
	}
	if err != nil {
		return err
	}
	fmt.Println(manifest.Digest)
	return nil
}

func pull(ctx context.Context, repository *remote.Repository, path string) error {
	store := memory.New()
	root, err := oras.Copy(ctx, repository, repository.Reference.Reference, store, "it", oras.DefaultCopyOptions)
	if err != nil {
		return err
	}
	raw, err := content.FetchAll(ctx, store, root)
	if err != nil {
		return err
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return err
	}
	if len(manifest.Layers) == 0 {
		return fmt.Errorf("%s has no layer", root.Digest)
	}
	layer, err := content.FetchAll(ctx, store, manifest.Layers[0])
	if err != nil {
		return err
	}
	return os.WriteFile(path, layer, 0o600)
}

// listReferrers asks the referrers API alone: a registry without it fails here instead of being worked around.
func listReferrers(ctx context.Context, repository *remote.Repository) error {
	if err := repository.SetReferrersCapability(true); err != nil {
		return err
	}
	subject, err := repository.Resolve(ctx, repository.Reference.Reference)
	if err != nil {
		return err
	}
	return repository.Referrers(ctx, subject, "", func(referrers []v1.Descriptor) error {
		for _, referrer := range referrers {
			fmt.Println(referrer.Digest, referrer.ArtifactType)
		}
		return nil
	})
}
