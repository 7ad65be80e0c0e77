"""The macros that every package uses.

Targets are private by default; `visibility` names the packages that may use
them, so that a folder which breaks the layering does not build.
"""

def mq_library(name, visibility = None, **kwargs):
    """A C++ library, private unless said otherwise.

    Linked statically always, so that a source is compiled once: a build of //... would otherwise make
    a shared library of each target as well, from position-independent objects that nothing uses.
    """
    native.cc_library(
        name = name,
        linkstatic = True,
        visibility = visibility or ["//visibility:private"],
        **kwargs
    )

def mq_binary(name, **kwargs):
    """A program. With -c opt it allocates with jemalloc (docs/decisions/0026); else with libc's malloc,
    which the sanitizers replace.
    """
    native.cc_binary(
        name = name,
        malloc = select({
            "//bazel:optimized": "@system//:jemalloc",
            "//conditions:default": "@bazel_tools//tools/cpp:malloc",
        }),
        **kwargs
    )

def mq_test(name, deps = [], size = "small", **kwargs):
    """A GoogleTest binary; its main comes with it."""
    native.cc_test(
        name = name,
        size = size,
        deps = deps + ["//base/testing:tsan_absl", "@system//:gtest_main"],
        **kwargs
    )

def mq_proto_library(name, srcs, visibility = None, deps = [], grpc = False):
    """Generates and compiles C++ for .proto files, and their services if grpc is set.

    Args:
      name: the library.
      srcs: .proto files, by path from this package; imports are from proto/.
      visibility: who may use it.
      deps: other mq_proto_library targets whose files these import.
      grpc: also generate service stubs.
    """
    outs_h = [s.replace(".proto", ".pb.h") for s in srcs]
    outs_cc = [s.replace(".proto", ".pb.cc") for s in srcs]
    plugin = ""
    if grpc:
        outs_h += [s.replace(".proto", ".grpc.pb.h") for s in srcs]
        outs_cc += [s.replace(".proto", ".grpc.pb.cc") for s in srcs]
        plugin = " --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=$(RULEDIR)"
    protos = [":" + name + "_srcs"] + [d + "_srcs" for d in deps]
    native.filegroup(
        name = name + "_srcs",
        srcs = srcs + [d + "_srcs" for d in deps],
        visibility = ["//proto:__subpackages__"],
    )
    native.genrule(
        name = name + "_gen",
        srcs = protos,
        outs = outs_h + outs_cc,
        cmd = "/usr/bin/protoc -Iproto --cpp_out=$(RULEDIR)" + plugin +
              " " + " ".join(["proto/" + s for s in srcs]),
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = outs_cc,
        hdrs = outs_h,
        linkstatic = True,
        includes = ["."],
        copts = ["-Wno-unused-parameter", "-w"],
        visibility = visibility or ["//visibility:private"],
        deps = deps + (["@system//:grpc"] if grpc else ["@system//:protobuf"]),
    )
