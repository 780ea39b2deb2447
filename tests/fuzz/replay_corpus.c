/*
 * Runs LLVMFuzzerTestOneInput over every file of the directories or files
 * named, and once over nothing. Fails when there was no file at all.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static size_t run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *data;
	size_t len;

	if (!file || fstat(fileno(file), &st) < 0 || !S_ISREG(st.st_mode)) {
		if (file)
			fclose(file);
		return 0;
	}
	/* Exactly the size, so that ASan sees a read past the end. */
	data = malloc(st.st_size ? (size_t)st.st_size : 1);
	len = fread(data, 1, (size_t)st.st_size, file);
	fclose(file);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 1;
}

static size_t run_directory(const char *path)
{
	DIR *directory = opendir(path);
	struct dirent *entry;
	size_t count = 0;
	char name[4096];

	if (!directory)
		return run_file(path);
	while ((entry = readdir(directory)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		count += run_file(name);
	}
	closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		count += run_directory(argv[i]);
	printf("%zu inputs\n", count);
	return count ? 0 : 1;
}
