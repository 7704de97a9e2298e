/* What maddjit does to load code, by Windows' build of llvmlite: the object of a kernel, placed into
   memory by LLVM's JIT and called. Rows come from standard input, results go to standard output.
   kernel.h says what is loaded. Of Windows it needs kernel32 alone. */
#include <stdint.h>

#include "kernel.h"

typedef void *handle;
#define SYSTEM __declspec(dllimport) extern
SYSTEM handle GetStdHandle(unsigned);
SYSTEM handle CreateFileA(const char *, unsigned, unsigned, void *, unsigned, unsigned, handle);
SYSTEM int ReadFile(handle, void *, unsigned, unsigned *, void *);
SYSTEM int WriteFile(handle, const void *, unsigned, unsigned *, void *);
SYSTEM handle LoadLibraryA(const char *);
SYSTEM void *GetProcAddress(handle, const char *);
SYSTEM void ExitProcess(unsigned);

static char code[1 << 22], rows[1 << 20], results[1 << 20];
static _Alignas(64) char workspace[WORKSPACE_BYTES];
static handle library;

static unsigned length(const char *text) {
  unsigned n = 0;
  while (text[n]) n++;
  return n;
}

static void write_all(int where, const char *bytes, unsigned size) {
  unsigned more = 0;
  for (unsigned done = 0; done < size; done += more)
    if (!WriteFile(GetStdHandle(where), bytes + done, size - done, &more, 0)) ExitProcess(101);
}

static void fail(const char *words) {
  write_all(-12, words, length(words));
  ExitProcess(100);
}

static unsigned read_all(handle file, char *bytes, unsigned most) {
  unsigned size = 0, more = 0;
  while (size < most && ReadFile(file, bytes + size, most - size, &more, 0) && more) size += more;
  return size;
}

static void *llvm(const char *name) {
  void *found = GetProcAddress(library, name);
  if (!found) fail(name);
  return found;
}

void start(void) {
  const char *message = 0;
  library = LoadLibraryA("llvmlite.dll");
  if (!library) fail("llvmlite.dll cannot be loaded");
  ((void (*)(const char **))llvm("LLVMPY_GetProcessTriple"))(&message);
  write_all(-12, message, length(message));
  ((void (*)(void))llvm("LLVMPY_InitializeAllTargetInfos"))();
  ((void (*)(void))llvm("LLVMPY_InitializeAllTargets"))();
  ((void (*)(void))llvm("LLVMPY_InitializeAllTargetMCs"))();
  ((void (*)(void))llvm("LLVMPY_InitializeAllAsmPrinters"))();
  void *context = ((void *(*)(void))llvm("LLVMPY_ContextCreate"))();
  void *module = ((void *(*)(void *, const char *, const char **))llvm("LLVMPY_ParseAssembly"))(
      context, "target triple = \"" TRIPLE "\"", &message);
  if (!module) fail(message);
  void *target = ((void *(*)(const char *, const char **))llvm("LLVMPY_GetTargetFromTriple"))(TRIPLE, &message);
  if (!target) fail(message);
  void *machine = ((void *(*)(void *, const char *, const char *, const char *, int, const char *, const char *,
                              int, int, const char *))llvm("LLVMPY_CreateTargetMachine"))(
      target, TRIPLE, CPU, FEATURES, 2, "pic", "small", 0, 0, "");
  if (!machine) fail("no target machine");
  void *engine = ((void *(*)(void *, void *, _Bool, const char **))llvm("LLVMPY_CreateMCJITCompiler"))(
      module, machine, 1, &message);
  if (!engine) fail(message);
  handle file = CreateFileA("kernel.object", 0x80000000, 1, 0, 3, 0x80, 0);
  unsigned size = read_all(file, code, sizeof code);
  void *object = ((void *(*)(const char *, uint64_t))llvm("LLVMPY_CreateObjectFile"))(code, size);
  if (!object) fail("no object");
  ((void (*)(void *, void *))llvm("LLVMPY_MCJITAddObjectFile"))(engine, object);
  ((void (*)(void *))llvm("LLVMPY_FinalizeObject"))(engine);
  uint64_t address = ((uint64_t (*)(void *, const char *))llvm("LLVMPY_GetFunctionAddress"))(engine, SYMBOL);
  if (!address) fail("the symbol is not there");
  int64_t n_rows = read_all(GetStdHandle(-10), rows, sizeof rows) / ROW_BYTES;
  ((void (*)(const void *, int64_t, int64_t, int64_t, void *, int64_t, void *, void *))address)(
      rows, n_rows, ROW_BYTES, ELEMENT_BYTES, results, RESULT_BYTES, workspace, 0);
  write_all(-11, results, (unsigned)n_rows * RESULT_BYTES);
  ExitProcess(0);
}
