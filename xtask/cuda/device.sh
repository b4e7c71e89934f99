# What check.sh and real.sh share, for bash to read; `python` names a Python.

# The whole path of $1: of the folder itself, or of the folder $2 in the archive $1, which is unpacked under $3.
unpacked() {
    if [ -f "$1" ]; then
        "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="data")' "$1" "$3" &&
            echo "$3/$2"
    else
        (cd "$1" && pwd)
    fi
}

# The folders of CUDA's libraries that the wheels of PyTorch brought.
libraries() {
    "$python" -c 'import nvidia, os
roots = [root for root in nvidia.__path__]
print(":".join(os.path.join(root, part, "lib") for root in roots for part in sorted(os.listdir(root))))' 2>/dev/null
}
