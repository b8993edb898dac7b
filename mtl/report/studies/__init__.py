"""Reports of studies: from the results of a study to a document with figures."""
