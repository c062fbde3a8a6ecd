"""The fifteen tests of NIST SP 800-22 Rev. 1a, vectorised, and what they say of many sequences.

The rule kept here: each test is its section of the publication, takes bits and returns P-values, and decides nothing.
Where NIST's program sts 2.1.2 and the text differ in the digits of a constant, the program's are taken, because the
P-values of Appendix B are its own. Passing these tests is no evidence of security: a counter fed to any hash passes.
"""
