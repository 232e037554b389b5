from experiments.data_needed import main

main()
